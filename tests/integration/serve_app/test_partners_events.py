"""The background tasks of the partners' service with a real broker: from the shop's outbox to a partner's server."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from data.contracts import crm, pricing, shop
from data.contracts.envelope import EventData
from data.contracts.topics import all_topics
from data.kit import kafka, outbox
from data.kit.database import Database
from data.kit.ids import new_id
from data.kit.relay import Relay
from data.partners import repository
from serve_app.kit.background import BackgroundTasks
from serve_app.kit.settings import settings
from serve_app.partners.handlers import register_background
from tests.support import event_examples as examples
from tests.support.databases import while_running
from tests.support.waiting import until
from tests.support.webhook_receiver import Receiver, served
from tests.support.webhook_sender import SECRET


async def test_a_partner_receives_the_events_of_its_orders(
    migrated: Callable[[str], str], bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACET_KAFKA_URL", bootstrap)
    monkeypatch.setenv("FACET_WEBHOOK_PRIVATE_ADDRESSES", "true")
    settings.cache_clear()
    receiver, urls = Receiver(), {name: migrated(name) for name in ("partners", "shop")}
    order, quote = new_id(), new_id()

    def event(kind: type[EventData], **members: object) -> EventData:
        example = next(each for each in examples.EVENTS if type(each) is kind).model_dump()
        identity = {"order_id": order, "owner_id": str(members["partner_id"]), "partner": True, "quote_id": quote}
        return kind.model_validate({**example, **identity, **members})

    async def published(database: Database, *events: EventData) -> float:
        """Publish events; return the seconds from the commit of the last to its arrival."""
        before = len(receiver.requests)
        async with database.transaction() as connection:
            await outbox.append(connection, *events)
        started = time.monotonic()
        await until(lambda: len(receiver.requests) == before + len(events), every_s=0.005)
        return time.monotonic() - started

    await kafka.ensure_topics(bootstrap, all_topics(), partitions=1)
    async with (
        served(receiver) as at,
        Database(urls["partners"]) as database,
        Database(urls["shop"]) as shop_database,
    ):
        async with database.transaction() as connection:
            partner = await repository.add(connection, "jeweller")
            await repository.add_webhook(connection, partner, f"http://{at}/", SECRET)
        work = BackgroundTasks()
        register_background(work, database)
        try:

            async def life() -> None:
                first = event(shop.OrderInitiated, partner_id=partner, revision=1)
                await published(shop_database, first)
                uploaded = event(shop.ModelUploaded, partner_id=partner, revision=2)
                took_s = await published(shop_database, uploaded)
                print(f"from commit to webhook: {1000 * took_s:.0f} ms")
                later = (
                    # One outbox stands for those of three services; each event has its own topic.
                    event(crm.OrderApproved, partner_id=partner, revision=5),
                    event(pricing.QuotePriced, partner_id=partner),
                    event(shop.OrderSubmitted, partner_id=partner, revision=3),
                )
                await published(shop_database, *later)
                work.check()

            await while_running(Relay(shop_database, bootstrap, "shop").run(), work=life())
        finally:
            await work.stop()
    assert [json.loads(each.body)["data"]["status"] for each in receiver.requests] == [
        "INITIATED", "FILE_UPLOADED", "SUBMITTED", "PRICE_CALCULATED", "MANUFACTURING_APPROVED",
    ]  # fmt: skip
    settings.cache_clear()
