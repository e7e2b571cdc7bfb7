"""Template filters of the planning desk."""
