"""What only webhooks tell, as streams."""
