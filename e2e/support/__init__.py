"""What the scenarios speak with: programs, objects, the release, the client's pod, and what the audit log says."""
