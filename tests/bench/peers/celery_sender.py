"""The same work by Celery: gevent, its fastest pool for I/O; acks late, so that a crash loses nothing."""

import os
from datetime import UTC, datetime

import pymongo
import urllib3
from celery import Celery
from kombu import Queue
from pymongo import WriteConcern

from tests.bench.peers.feeding import QUEUE

CONCURRENCY = 64

app = Celery("bench", broker=os.environ["AMQP_URL"])
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    task_default_queue=QUEUE,
    task_queues=[Queue(QUEUE, queue_arguments={"x-queue-type": "quorum"}, no_declare=True)],
    worker_prefetch_multiplier=4,
    worker_detect_quorum_queues=True,
    broker_pool_limit=CONCURRENCY,
)
http = urllib3.PoolManager(maxsize=CONCURRENCY, block=True, headers={"Authorization": "Bearer token"})
gateway: "pymongo.MongoClient[dict[str, object]]" = pymongo.MongoClient(
    os.environ["MONGO_URL"], maxPoolSize=CONCURRENCY
)
messages = gateway.get_database(os.environ["MONGO_DATABASE"], write_concern=WriteConcern(w="majority", j=True))[
    "messages"
]


@app.task(name="send")
def send(message_id: int, phone: int, text: str) -> None:
    at = datetime.now(UTC)
    answer = http.request(
        "POST", f"{os.environ['PROVIDER_URL']}/send/{message_id}", json={"id": message_id, "phone": phone, "text": text}
    )
    outcome = "accepted" if answer.status == 200 and answer.json()["code"] == 0 else "refused"
    messages.update_one(
        {"_id": message_id},
        {
            "$set": {"status": "sent" if outcome == "accepted" else "failed", "sent_at": at, "updated_at": at},
            "$push": {"attempts": {"at": at, "outcome": outcome, "http_status": answer.status}},
        },
    )
