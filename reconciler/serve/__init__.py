"""What can be asked of a running loop over HTTP: health, metrics, read-only JSON; and the hint that git has moved."""
