"""Price book, line items, quote: exact decimal arithmetic over an Analysis.

``book.load_price_book`` and ``book.offer`` read what is on offer, ``quote.quote`` prices it.
"""
