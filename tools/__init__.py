"""What the project's own development needs: requirements, stubs, and the reading of operator schemas."""
