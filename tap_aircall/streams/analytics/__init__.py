"""Reports of Aircall's analytics."""
