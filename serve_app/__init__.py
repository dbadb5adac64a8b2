"""The services: Ray Serve deployments, a folder a service, and in ``kit`` what they share."""
