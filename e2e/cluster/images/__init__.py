"""The images that a cluster runs, built without Docker from the project's own Dockerfiles on a base of our own."""
