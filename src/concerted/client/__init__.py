"""How a program asks a coordinator in another process: one connection to the owner's socket."""
