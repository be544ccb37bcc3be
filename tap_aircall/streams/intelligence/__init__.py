"""What Aircall's AI makes of calls."""
