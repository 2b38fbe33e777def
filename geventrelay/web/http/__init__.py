"""HTTP itself: connections, requests, answers. Knows no device."""
