"""The shop's repository: orders take steps and store their history; lists are paged."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from data.contracts.common import OrderRequest, Priority
from data.contracts.lifecycle import Actor, IllegalStep, OrderStatus, Step
from data.kit import clock
from data.kit.database import Database
from data.kit.errors import StaleVersion
from data.kit.ids import new_id
from data.kit.paging import START, Position
from data.shop import products, repository
from tests.support.databases import initiated, set_operating_time
from tests.support.event_examples import SHA, SUMMARY

ORDER_REQUEST = OrderRequest(
    process="casting", material="brass", finish="polished", quantity=2, priority=Priority.EXPRESS
)
S = OrderStatus


async def test_an_order_stores_its_changes_and_its_history(shop_url: str) -> None:
    order_id, quote_id = new_id(), new_id()
    async with Database(shop_url) as database:
        async with database.transaction() as connection:
            await repository.create(connection, initiated(order_id, "me", ORDER_REQUEST))
        async with database.transaction() as connection:
            order = await repository.lock(connection, order_id)
            assert order is not None
            order = await repository.move(
                connection, order, Step.UPLOAD, "me", Actor.CUSTOMER, model_sha256=SHA, unit="mm"
            )
            order = await repository.move(
                connection, order, Step.SUBMIT, "me", submitted_at=clock.now(), quote_id=quote_id
            )
            await repository.move(connection, order, Step.PRICE, "pricing", quote=SUMMARY)
        async with database.connection() as connection:
            stored = await repository.get(connection, order_id)
            assert stored is not None
            assert (stored.status, stored.version, stored.quote, stored.quote_id) == (
                S.PRICE_CALCULATED, 4, SUMMARY, quote_id,
            )  # fmt: skip
            assert (stored.priority, stored.quantity, stored.model_sha256, stored.unit) == (
                Priority.EXPRESS,
                2,
                SHA,
                "mm",
            )
            entries = await repository.history(connection, order_id)
            assert [(entry.status, entry.by) for entry in entries] == [
                (S.INITIATED, "me"), (S.FILE_UPLOADED, "me"), (S.SUBMITTED, "me"), (S.PRICE_CALCULATED, "pricing"),
            ]  # fmt: skip


async def test_an_illegal_step_and_a_stale_version_change_nothing(shop_url: str) -> None:
    order_id = new_id()
    async with Database(shop_url) as database:
        async with database.transaction() as connection:
            await repository.create(connection, initiated(order_id, "me", ORDER_REQUEST))

        async def submit() -> None:
            async with database.transaction() as connection:
                order = await repository.lock(connection, order_id, version=1)
                assert order is not None
                await repository.move(connection, order, Step.SUBMIT, "me", Actor.CUSTOMER)

        with pytest.raises(IllegalStep, match="legal steps: cancel, upload"):
            await submit()
        with pytest.raises(StaleVersion, match="version is 1 now"):
            async with database.transaction() as connection:
                await repository.lock(connection, order_id, version=2)
        async with database.connection() as connection:
            assert len(await repository.history(connection, order_id)) == 1


async def test_pages_continue_after_the_last_row(shop_url: str) -> None:
    async with Database(shop_url) as database:
        order_ids = [new_id() for _ in range(7)]
        for order_id in order_ids:
            async with database.transaction() as connection:
                await repository.create(connection, initiated(order_id, "me", ORDER_REQUEST))
                await repository.create(connection, initiated(new_id(), "you", ORDER_REQUEST))
        async with database.connection() as connection:
            found, position = [], START
            while rows := await repository.of_owner(connection, "me", position, 3):
                found += [row.id for row in rows[:3]]
                position = Position(rows[:3][-1].created_at, rows[:3][-1].id)
            assert found == order_ids[::-1]


async def test_overdue_orders_are_locked_once(shop_url: str) -> None:
    async with Database(shop_url) as database:
        order_ids = [new_id(), new_id()]
        for order_id in order_ids:  # the second is submitted 90 s of operating time after the first
            async with database.transaction() as connection:
                await repository.create(connection, initiated(order_id, "me", ORDER_REQUEST))
                order = await repository.lock(connection, order_id)
                assert order is not None
                order = await repository.move(connection, order, Step.UPLOAD, "me", model_sha256=SHA, unit="mm")
                await repository.move(connection, order, Step.SUBMIT, "me", submitted_at=clock.now())
            await set_operating_time(database, repository.OVERDUE_TIMER, 90_000)
        minute = timedelta(seconds=60)
        async with database.transaction() as one, database.transaction() as another:
            assert [order.id for order in await repository.overdue(one, minute)] == order_ids[:1]
            assert await repository.overdue(another, minute) == []
        async with database.transaction() as connection:
            assert await repository.overdue(connection, timedelta(seconds=91)) == []


async def test_overdue_time_counts_from_the_last_submission(shop_url: str) -> None:
    async with Database(shop_url) as database:
        order_id = new_id()
        async with database.transaction() as connection:
            await repository.create(connection, initiated(order_id, "me", ORDER_REQUEST))
            order = await repository.lock(connection, order_id)
            assert order is not None
            order = await repository.move(connection, order, Step.UPLOAD, "me", model_sha256=SHA, unit="mm")
            order = await repository.move(connection, order, Step.SUBMIT, "me", submitted_at=clock.now())
        await set_operating_time(database, repository.OVERDUE_TIMER, 900_000)
        async with database.transaction() as connection:
            (late,) = await repository.overdue(connection, timedelta(seconds=900))
            order = await repository.move(connection, late, Step.FAIL_PRICE, "timer", Actor.TIMER)
            order = await repository.move(connection, order, Step.SUBMIT, "me", submitted_at=clock.now())
        await set_operating_time(database, repository.OVERDUE_TIMER, 1_799_999)
        async with database.transaction() as connection:
            assert await repository.overdue(connection, timedelta(seconds=900)) == [], "it was submitted again"
        await set_operating_time(database, repository.OVERDUE_TIMER, 1_800_000)
        async with database.transaction() as connection:
            assert [each.id for each in await repository.overdue(connection, timedelta(seconds=900))] == [order_id]


def product(number: int) -> products.Product:
    return products.Product(
        id=new_id(), sku=f"ring-{number}", name=f"Ring {number}", category="rings" if number % 2 else "pendants",
        description="", process="casting", material="brass", price=Decimal(number), currency="EUR",
        in_stock=number % 3 == 0, version=1, created_at=clock.now(),
    )  # fmt: skip


async def test_the_catalogue_is_filtered_and_edited_with_versions(shop_url: str) -> None:
    async with Database(shop_url) as database:
        for number in range(1, 13):
            async with database.transaction() as connection:
                await products.seed(connection, product(number))
                await products.seed(connection, product(number))
        async with database.connection() as connection:

            async def skus(
                category: str | None = None, in_stock: bool | None = None, max_price: Decimal | None = None
            ) -> list[str]:
                found = await products.catalogue(connection, START, 50, category, in_stock, max_price)
                return [each.sku for each in found]

            assert await skus() == [f"ring-{number}" for number in range(12, 0, -1)]
            assert await skus(category="rings", in_stock=True) == ["ring-9", "ring-3"]
            assert await skus(in_stock=False, max_price=Decimal(4)) == ["ring-4", "ring-2", "ring-1"]
            first = (await products.catalogue(connection, START, 1))[0]
            saved = await products.edit(connection, first.model_copy(update={"price": Decimal("9.99")}))
            assert (saved.price, saved.version) == (Decimal("9.99"), 2)
            with pytest.raises(StaleVersion, match="is 2 now"):
                await products.edit(connection, first)
