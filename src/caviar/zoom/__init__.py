"""Zoom: the next, narrower or moved space, read off a finished sweep."""
