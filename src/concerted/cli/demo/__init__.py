"""`concerted demo`: a fleet at work while parts of it are killed."""
