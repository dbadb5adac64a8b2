"""Fair queue (``distributed/fair_queue.py``): the order of jobs."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pricing_engine.distributed.fair_queue import HEAD_START_S, FairQueue, Ticket
from pricing_engine.distributed.jobs import JobPriority

EXPRESS, STANDARD, BULK = JobPriority


def ticket(
    key: str, priority: JobPriority = STANDARD, customer: str = "a", at: float = 0.0, weight: float = 1.0
) -> Ticket:
    return Ticket(key, customer, priority, weight, at)


def pop(queue: FairQueue, *priorities: JobPriority) -> Ticket:
    """Return the next ticket of a queue that has one."""
    found = queue.pop(priorities) if priorities else queue.pop()
    assert found is not None
    return found


def drain(queue: FairQueue) -> list[str]:
    return [found.key for found in iter(queue.pop, None)]


def filled(*tickets: Ticket) -> FairQueue:
    queue = FairQueue()
    for each in tickets:
        queue.push(each)
    return queue


def test_express_precedes_standard_precedes_bulk() -> None:
    assert drain(filled(ticket("b", BULK), ticket("s"), ticket("e", EXPRESS))) == ["e", "s", "b"]


def test_old_bulk_precedes_express() -> None:
    head_start = HEAD_START_S[BULK]
    old, young = ticket("old", BULK, at=0.0), ticket("young", EXPRESS, at=head_start + 1)
    assert drain(filled(young, old)) == ["old", "young"]
    assert drain(filled(ticket("old", BULK), ticket("young", EXPRESS, at=head_start - 1))) == ["young", "old"]


def test_bulk_never_starves_under_endless_express() -> None:
    queue, started = filled(ticket("bulk", BULK)), []
    for second in range(int(HEAD_START_S[BULK]) + 10):
        queue.push(ticket(f"e{second}", EXPRESS, at=float(second)))
        started.append(pop(queue))
    assert "bulk" in {found.key for found in started}


def test_a_thousand_models_of_one_customer_do_not_stop_another() -> None:
    queue = filled(*(ticket(f"big{i}", customer="big") for i in range(1000)), ticket("small", customer="small", at=5.0))
    assert "small" in [pop(queue).key for _ in range(2)]


def test_shares_follow_weight_and_not_count() -> None:
    heavy = [ticket(f"h{i}", customer="heavy", weight=10.0) for i in range(100)]
    light = [ticket(f"l{i}", customer="light", weight=1.0) for i in range(1000)]
    queue = filled(*heavy, *light)
    work = {"heavy": 0.0, "light": 0.0}
    for _ in range(440):
        found = pop(queue)
        work[found.customer] += found.weight
    assert abs(work["heavy"] - work["light"]) <= 10


def test_idle_time_earns_no_credit() -> None:
    queue = filled(*(ticket(f"a{i}", customer="a") for i in range(50)))
    for _ in range(20):
        queue.pop()
    for i in range(20):
        queue.push(ticket(f"b{i}", customer="b"))
    first = [pop(queue).customer for _ in range(10)]
    assert 4 <= first.count("a") <= 6


def test_new_customers_do_not_starve_a_returning_one() -> None:
    queue = filled(ticket("first", customer="back"), ticket("second", customer="back"))
    started = [pop(queue).key]
    for number in range(50):
        queue.push(ticket(f"new{number}", customer=f"new{number}"))
        queue.push(ticket(f"more{number}", customer=f"more{number}"))
        started.append(pop(queue).key)
    assert "second" in started


def test_one_old_ticket_does_not_promote_the_others_of_its_priority() -> None:
    late = HEAD_START_S[BULK]
    queue = filled(ticket("old", BULK, "a"), *(ticket(f"young{i}", BULK, "b", at=late) for i in range(5)))
    for i in range(5):
        queue.push(ticket(f"e{i}", EXPRESS, "c", at=late + 1))
    assert drain(queue)[:6] == ["old", *(f"e{i}" for i in range(5))]


def test_single_jobs_of_many_customers_take_little_memory() -> None:
    queue = FairQueue()
    for number in range(5000):
        queue.push(ticket(f"k{number}", customer=f"c{number}"))
        queue.push(ticket(f"l{number}", customer=f"d{number}"))
        queue.pop()
        queue.pop()
    assert len(queue._queues[STANDARD].finish_of) < 200


def test_withdrawn_tickets_never_start() -> None:
    withdrawn, other = ticket("gone"), ticket("kept", customer="b")
    queue = filled(withdrawn, other)
    queue.withdraw(withdrawn)
    queue.withdraw(withdrawn)
    assert (len(queue), queue.oldest(STANDARD), drain(queue), len(queue)) == (1, 0.0, ["kept"], 0)


def test_only_allowed_priorities_are_started() -> None:
    queue = filled(ticket("s"))
    assert queue.pop((EXPRESS,)) is None
    assert pop(queue, STANDARD, BULK).key == "s"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(JobPriority)),
            st.sampled_from("abc"),
            st.floats(0.1, 9),
            st.sampled_from(["pop", "withdraw", ""]),
        ),
        max_size=60,
    )
)
def test_every_ticket_starts_once_or_was_withdrawn(steps: list[tuple[JobPriority, str, float, str]]) -> None:
    queue, waiting, started = FairQueue(), {}, []
    for number, (priority, customer, weight, action) in enumerate(steps):
        new = ticket(str(number), priority, customer, float(number), weight)
        queue.push(new)
        waiting[new.key] = new
        if action == "pop":
            started.append(waiting.pop(pop(queue).key).key)
        elif action == "withdraw":
            queue.withdraw(waiting.pop(min(waiting)))
        assert len(queue) == len(waiting)
    remaining = drain(queue)
    assert sorted(remaining) == sorted(waiting)
    assert len(set(started + remaining)) == len(started + remaining)
    of_one = [key for key in remaining if waiting[key].customer == "a" and waiting[key].priority is BULK]
    assert of_one == sorted(of_one, key=int), "a customer's jobs of one priority keep their order"
