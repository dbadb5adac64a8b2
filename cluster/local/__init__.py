"""The local stack: real servers on private ports, each one part that a supervisor starts, watches and ends by pid."""
