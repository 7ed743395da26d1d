"""No job: two days of a small shop that does not exist, for analytics.py.

    python examples/shop.py          prints what happens, in the order in which it arrives

The same seed gives the same events, in every process. Times (``at``) are ms since 1970 in UTC.

    {"kind": "user", "user": "u007", "at": ...}                     signs up, right before the first visit
    {"kind": "view", "user": "u007", "at": ..., "page": "mug"}      looks at home, a product, the cart, the checkout
    {"kind": "order", "user": "u007", "at": ..., "product": "mug", "units": 2, "cents": 1800}

A user comes again after hours and stays on a page for minutes. Events arrive up to 40 s after they happened, so out
of order; a few were without a network and arrive six hours later.
"""

import random

PRICES = {"mug": 900, "shirt": 2_400, "poster": 1_250, "lamp": 5_990, "chair": 12_900}
SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
START_MS = 1_772_409_600_000  # 2026-03-02 00:00 UTC
DAYS = 2
USERS = 130
ARRIVES_WITHIN_MS = 40 * SECOND
LATE_BY_MS = 6 * HOUR
#: How likely a visitor goes on: to a product, to another one, to the cart, to checkout, to an order.
PRODUCT, ANOTHER, CART, CHECKOUT, ORDER = 0.8, 0.45, 0.5, 0.6, 0.75


def visit(user, at, chance):
    """The events of one visit, from its first page on."""

    def event(kind, **more):
        nonlocal at
        at += chance.randint(10 * SECOND, 3 * MINUTE)
        return {"kind": kind, "user": user, "at": at, **more}

    yield event("view", page="home")
    if chance.random() > PRODUCT:
        return
    product = chance.choice(list(PRICES))
    yield event("view", page=product)
    while chance.random() < ANOTHER:
        product = chance.choice(list(PRICES))
        yield event("view", page=product)
    for page, likely in (("cart", CART), ("checkout", CHECKOUT)):
        if chance.random() > likely:
            return
        yield event("view", page=page)
    if chance.random() < ORDER:
        units = chance.randint(1, 3)
        yield event("order", product=product, units=units, cents=units * PRICES[product])


def events(seed, late_share=0.01):
    """Everything that happens, in the order in which it arrives."""
    chance = random.Random(seed)
    arriving = []
    for number in range(USERS):
        user = f"u{number:03}"
        at = START_MS + chance.randint(0, DAYS * 24 * HOUR)
        happening = [{"kind": "user", "user": user, "at": at}]
        while at < START_MS + DAYS * 24 * HOUR:
            happening += visit(user, at, chance)
            at += chance.randint(4 * HOUR, 14 * HOUR)
        for event in happening:
            late = LATE_BY_MS if chance.random() < late_share else 0
            arriving.append((event["at"] + late + chance.randint(0, ARRIVES_WITHIN_MS), event))
    return [event for _, event in sorted(arriving, key=lambda pair: pair[0])]


if __name__ == "__main__":
    for event in events(7):
        print(event)
