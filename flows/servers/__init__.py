"""The servers that flows need, and what they are told: started here, kept alive, asked to run flows on a schedule."""
