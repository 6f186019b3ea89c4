"""Stock dramatiq's actor for its own command line: `STOCK_URL` and `STOCK_FOLDER` say where, the job takes a second."""

import os
import time
from pathlib import Path

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

broker = RabbitmqBroker(url=os.environ["STOCK_URL"])
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name="stock", max_retries=0)
def slow() -> None:
    folder = Path(os.environ["STOCK_FOLDER"])
    (folder / f"started-{time.time_ns()}").touch()
    time.sleep(1.5)
    (folder / f"ended-{time.time_ns()}").touch()
