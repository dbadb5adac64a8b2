"""The local stack: real servers on private ports, each a part that a supervisor starts, monitors and stops by pid."""
