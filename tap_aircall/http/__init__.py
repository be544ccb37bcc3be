"""Talking to Aircall over HTTP: paced, authenticated, checked, decoded."""
