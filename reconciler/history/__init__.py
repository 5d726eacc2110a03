"""What happened, on the controller's disk: for people who ask later. Nothing that is done to a host ever depends on it."""
