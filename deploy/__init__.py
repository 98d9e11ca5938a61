"""Ways to run Mailrun: without containers (`local`), in containers, and a trial of whatever runs (`trial`)."""
