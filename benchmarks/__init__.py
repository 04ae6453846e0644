"""What the software reaches: accuracy against known truth, and speed. Run tiny in the tests."""
