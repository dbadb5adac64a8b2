"""The models that customers upload: objects named by their content."""
