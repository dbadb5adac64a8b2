"""Price book, line items, quote: exact decimal arithmetic over an Analysis.

``book.load_price_book`` reads the price book, ``book.offer`` lists its offer, ``quote.quote`` prices a model.
"""
