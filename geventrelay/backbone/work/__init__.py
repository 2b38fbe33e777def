"""Messages for one worker each: to where there is credit."""
