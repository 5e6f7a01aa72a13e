"""The torch-free side: everything that clients and operators touch."""
