"""The trial: a mailing through a running system, and the proof of what became of it.

__main__.py     the command: `python -m deploy.trial --api URL --provider URL`
trial.py        from the sample clients to the verdict
sample.py       the clients, and the text that each is to get
api.py          the REST API, as far as the trial needs it
provider.py     the fake provider's ledger and faults
progress.py     what a person sees meanwhile
verdict.py      audience, counts, statistics and ledger, compared
"""
