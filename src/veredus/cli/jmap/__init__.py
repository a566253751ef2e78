"""`veredus jmap`: any JMAP server from the shell."""
