"""What clients send, what is kept and what is returned."""
