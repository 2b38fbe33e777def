"""HTTP itself: connections, requests, answers. It knows no device."""
