"""Ways to run Mailrun: without containers (`local`), in containers, and the trial that shows a running system at work."""
