"""From the bytes of a picture to everything that is read off its pixels."""
