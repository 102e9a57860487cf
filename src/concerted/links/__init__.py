"""How the coordinator reaches agents: in this process, as a child process, as command lines, through a socket."""
