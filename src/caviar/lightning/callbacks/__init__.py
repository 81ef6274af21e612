"""What happens around training: a file each."""
