"""Direct loss minimisation: exact gradients of a task loss from two decodes."""
