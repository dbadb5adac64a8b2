"""The operations of all services and the roles that may call each."""

from __future__ import annotations

from tests.support.stack import OTHER_PARTNER

ANONYMOUS = "anonymous"
ROLES = (ANONYMOUS, "customer", "partner", OTHER_PARTNER, "seller", "operator", "admin", "mes")
ANYONE = frozenset(ROLES)
BUYERS = frozenset({"customer", "partner", OTHER_PARTNER, "admin"})
PRICING = frozenset({"mes", "partner", OTHER_PARTNER, "admin"})
SELLERS = frozenset({"seller", "admin"})
OPERATORS = frozenset({"operator", "admin"})
MAKERS = frozenset({"operator"})
ADMINS = frozenset({"admin"})
PARTNERS = frozenset({"partner", OTHER_PARTNER})
"""With an API key: an administrator has no partner whose orders and webhooks the path could address."""

PERMITTED = {
    "GET /healthz": ANYONE,
    "GET /readyz": ANYONE,
    "GET /metrics": ANYONE,
    "GET /asyncapi.json": ANYONE,
    **{
        f"GET /{service}/{path}": ANYONE
        for service in ("auth", "shop", "pricing", "crm", "mes", "status", "partners")
        for path in ("healthz", "readyz")
    },
    "POST /auth/token": ANYONE,
    "GET /auth/jwks.json": ANYONE,
    "GET /auth/.well-known/openid-configuration": ANYONE,
    "GET /shop/products": ANYONE,
    "GET /shop/products/{product_id}": ANYONE,
    "PUT /shop/products/{product_id}": ADMINS,
    "POST /shop/orders": BUYERS,
    "GET /shop/orders": BUYERS,
    "GET /shop/orders/{order_id}": BUYERS,
    "PUT /shop/orders/{order_id}/model": BUYERS,
    "POST /shop/orders/{order_id}/submit": BUYERS,
    "POST /shop/orders/{order_id}/cancel": BUYERS,
    "POST /pricing/quotes": PRICING,
    "GET /pricing/quotes": PRICING,
    "GET /pricing/quotes/{quote_id}": PRICING,
    "DELETE /pricing/quotes/{quote_id}": PRICING,
    "GET /pricing/quotes/{quote_id}/events": PRICING,
    "GET /pricing/materials": ANYONE,
    "GET /crm/orders": SELLERS,
    "GET /crm/orders/{order_id}": SELLERS,
    "PUT /crm/orders/{order_id}/note": SELLERS,
    "POST /crm/orders/{order_id}/release": SELLERS,
    "POST /crm/orders/{order_id}/approve": SELLERS,
    "POST /crm/orders/{order_id}/reject": SELLERS,
    "POST /crm/orders/{order_id}/close": SELLERS,
    "POST /crm/orders/{order_id}/cancel": SELLERS,
    "POST /crm/orders/{order_id}/hold": SELLERS,
    "POST /crm/orders/{order_id}/resume": SELLERS,
    "GET /mes/orders": OPERATORS,
    "GET /mes/orders/{order_id}": OPERATORS,
    "POST /mes/orders/{order_id}/claim": MAKERS,
    "POST /mes/orders/{order_id}/complete": OPERATORS,
    "POST /mes/orders/{order_id}/package": OPERATORS,
    "POST /mes/orders/{order_id}/ship": OPERATORS,
    "POST /mes/orders/{order_id}/rework": OPERATORS,
    "POST /mes/orders/{order_id}/hold": OPERATORS,
    "POST /mes/orders/{order_id}/resume": OPERATORS,
    "GET /status/orders": BUYERS,
    "GET /status/orders/{order_id}": BUYERS,
    "GET /status/orders/{order_id}/events": BUYERS,
    "GET /partners/v1/whoami": PARTNERS,
    "GET /partners/v1/keys": PARTNERS,
    "POST /partners/v1/keys": PARTNERS,
    "DELETE /partners/v1/keys/{key_id}": PARTNERS,
    "POST /partners/v1/orders": PARTNERS,
    "GET /partners/v1/orders": PARTNERS,
    "GET /partners/v1/orders/{order_id}": PARTNERS,
    "POST /partners/v1/webhooks": PARTNERS,
    "GET /partners/v1/webhooks": PARTNERS,
    "GET /partners/v1/webhooks/{webhook_id}": PARTNERS,
    "PUT /partners/v1/webhooks/{webhook_id}": PARTNERS,
    "DELETE /partners/v1/webhooks/{webhook_id}": PARTNERS,
    "GET /partners/v1/webhooks/{webhook_id}/deliveries": PARTNERS,
    "GET /partners/v1/deliveries/{delivery_id}/attempts": PARTNERS,
    "POST /partners/v1/deliveries/{delivery_id}/replay": PARTNERS,
}
"""Method and path -> permitted roles."""
