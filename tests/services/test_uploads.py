"""Repeated uploads of a model to one order."""

from __future__ import annotations

from tests.support.stack import Stack


def test_uploading_the_same_model_again_changes_nothing(stack: Stack, band: bytes) -> None:
    order_id = stack.post("/shop/orders", "customer", json={"material": "brass"}).json()["order_id"]

    def put(model: bytes, unit: str = "mm") -> tuple[list[str], str]:
        path = f"/shop/orders/{order_id}/model?unit={unit}"
        answer = stack.put(path, "customer", files={"model": ("band.stl", model)}).raise_for_status()
        return [line["status"] for line in answer.json()["history"]], answer.headers["ETag"]

    first = put(band)
    assert first[0] == ["INITIATED", "FILE_UPLOADED"]
    assert put(band) == first
    assert put(band + b" ")[0] == ["INITIATED", "FILE_UPLOADED", "FILE_UPLOADED"]
    assert put(band + b" ", "cm")[0] == ["INITIATED", *["FILE_UPLOADED"] * 3]
