"""Writes the rows of this recipe: invoice lines as they stand in mails and ledgers, and what is to be read from them.

The sentences were written for this purpose (Apache-2.0); dates, amounts and currencies stand in them as the Unicode
CLDR writes them for each country (Unicode-3.0), through Babel. The same seed makes the same rows.

    pip install babel==2.18.0 && python make_rows.py
"""

import json
import random
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from babel.dates import format_date
from babel.numbers import format_currency

HERE = Path(__file__).parent
NUM_EXAMPLES, NUM_CORRECTIONS = 380, 60
FIRST_DAY, NUM_DAYS = date(2023, 1, 1), 1460
CURRENCIES = {
    "en_GB": ("GBP", "EUR", "USD"),
    "en_US": ("USD",),
    "de_DE": ("EUR",),
    "de_CH": ("CHF",),
    "fr_FR": ("EUR",),
    "es_ES": ("EUR",),
    "it_IT": ("EUR",),
    "nl_NL": ("EUR",),
}
VAT = {"GBP": "0.20", "USD": "0.07", "EUR": "0.19", "CHF": "0.08"}
PATTERNS = ("¤#,##0.00", "¤¤ #,##0.00", "#,##0.00 ¤¤")
"""Currency with its sign or its code, before the amount or after it; beside the country's own pattern."""

SENTENCES = {
    "en": (
        "Invoice {number} from {firm}, dated {day}. Total {total}.",
        "{firm} sent invoice {number} on {day}; net {net}, VAT {vat}, total {total}.",
        "Please settle {total} for our invoice {number} of {day} by {due}.",
        "Received {received}: bill no. {number}, issued {day}, amount due {total}.",
        "Re invoice {number} ({day}): {net} plus {vat} VAT makes {total}, payable by {due}.",
        "Hi, {firm} billed us {total} on {day} (ref. {number}). Can you approve it?",
        "{day} | {firm} | {number} | net {net} | gross {total}",
        "Reminder: invoice {number} of {day} over {total} was due on {due}.",
        "Credit card slip, {firm}, {day}, {total}, tip not included.",
        "The balance of {total} stems from invoice {number}, which we issued on {day}.",
    ),
    "de": (
        "Rechnung {number} der {firm} vom {day} über {total}.",
        "{firm}: Rechnung {number} vom {day}, netto {net}, MwSt. {vat}, gesamt {total}.",
        "Bitte überweisen Sie {total} für unsere Rechnung {number} vom {day} bis zum {due}.",
        "Eingang {received}: Beleg {number}, ausgestellt am {day}, Betrag {total}.",
        "Zur Rechnung {number} ({day}): {net} zuzüglich {vat} Mehrwertsteuer ergibt {total}, zahlbar bis {due}.",
        "Hallo, {firm} hat uns am {day} {total} berechnet (Nr. {number}). Bitte freigeben.",
        "{day} | {firm} | {number} | netto {net} | brutto {total}",
        "Mahnung: Die Rechnung {number} vom {day} über {total} war am {due} fällig.",
    ),
    "fr": (
        "Facture {number} de {firm} du {day}, montant {total}.",
        "{firm} : facture {number} du {day}, HT {net}, TVA {vat}, TTC {total}.",
        "Merci de régler {total} pour notre facture {number} du {day} avant le {due}.",
        "Reçu le {received} : pièce {number}, émise le {day}, total {total}.",
        "Bonjour, {firm} nous a facturé {total} le {day} (réf. {number}). Pouvez-vous valider ?",
        "Rappel : la facture {number} du {day} d'un montant de {total} était due le {due}.",
        "{day} | {firm} | {number} | HT {net} | TTC {total}",
    ),
    "es": (
        "Factura {number} de {firm} con fecha {day}, importe {total}.",
        "{firm}: factura {number} del {day}, base {net}, IVA {vat}, total {total}.",
        "Rogamos abonen {total} por nuestra factura {number} del {day} antes del {due}.",
        "Recibida el {received}: factura {number}, emitida el {day}, a pagar {total}.",
        "Hola, {firm} nos ha facturado {total} el {day} (ref. {number}). ¿Lo apruebas?",
        "Aviso: la factura {number} del {day} por {total} venció el {due}.",
    ),
    "it": (
        "Fattura {number} di {firm} del {day}, importo {total}.",
        "{firm}: fattura {number} del {day}, imponibile {net}, IVA {vat}, totale {total}.",
        "Vi preghiamo di pagare {total} per la nostra fattura {number} del {day} entro il {due}.",
        "Ricevuta il {received}: fattura {number}, emessa il {day}, totale {total}.",
        "Ciao, {firm} ci ha fatturato {total} il {day} (rif. {number}). Puoi approvare?",
        "Sollecito: la fattura {number} del {day} di {total} è scaduta il {due}.",
    ),
    "nl": (
        "Factuur {number} van {firm}, datum {day}, totaal {total}.",
        "{firm}: factuur {number} van {day}, netto {net}, btw {vat}, totaal {total}.",
        "Gelieve {total} te betalen voor onze factuur {number} van {day}, uiterlijk {due}.",
        "Ontvangen op {received}: factuur {number}, opgemaakt op {day}, te betalen {total}.",
        "Hoi, {firm} heeft ons op {day} {total} gefactureerd (ref. {number}). Akkoord?",
        "Herinnering: factuur {number} van {day} over {total} verviel op {due}.",
    ),
}
FIRMS = (
    "Nordlicht Logistik", "Harbour & Finch", "Atelier Moreau", "Talleres Vega", "Officina Bruni", "Van Dijk Techniek",
    "Brightwater Print", "Keller Elektro", "Maison Lefort", "Imprenta Soler", "Studio Ferri", "De Wit Transport",
    "Ashdown Catering", "Blum Gartenbau", "Garage Picard", "Clima Norte", "Legno Vivo", "Bakker IT",
)  # fmt: skip


def main() -> None:
    """Write ``invoices.jsonl`` and ``corrections.jsonl``; no line stands in both."""
    generator = random.Random(7)
    examples: list[dict] = []
    corrections: list[dict] = []
    seen: set[str] = set()
    while len(corrections) < NUM_CORRECTIONS:
        line, right, facts = make_line(generator)
        if line in seen:
            continue
        seen.add(line)
        answer = json.dumps(right)
        if len(examples) < NUM_EXAMPLES:
            examples.append({"prompt": line, "completion": answer, "family": facts["language"]})
        else:
            rejected = json.dumps(right | mistake(right, facts, generator))
            corrections.append({"prompt": line, "chosen": answer, "rejected": rejected, "family": facts["language"]})
    write("invoices.jsonl", examples)
    write("corrections.jsonl", corrections)


def make_line(generator: random.Random) -> tuple[str, dict[str, str], dict]:
    """A line, the three fields to read from it, and what else stands in it."""
    locale = generator.choice(list(CURRENCIES))
    language, currency = locale[:2], generator.choice(CURRENCIES[locale])
    sentence = generator.choice(SENTENCES[language])
    day = FIRST_DAY + timedelta(days=generator.randrange(NUM_DAYS))
    due = day + timedelta(days=generator.choice((10, 14, 21, 30, 45)))
    net = Decimal(generator.randrange(900, 10 ** generator.choice((5, 6)))) / 100
    vat = (net * Decimal(VAT[currency])).quantize(Decimal("0.01"))
    style = generator.choice(("medium", "long", "full") if locale == "en_US" else ("short", "medium", "long", "full"))
    pattern = generator.choice((None, None, *PATTERNS))
    amounts = {"net": net, "vat": vat, "total": net + vat}
    days = {"day": day, "due": due, "received": day + timedelta(days=generator.randrange(1, 6))}
    line = sentence.format(
        number=generator.choice(("{y}-{n:03d}", "{n:05d}", "R{n}", "{y}/{n}")).format(
            y=day.year, n=generator.randrange(1, 999)
        ),
        firm=generator.choice(FIRMS),
        **{name: format_date(value, style, locale=locale) for name, value in days.items()},
        **{name: format_currency(value, currency, pattern, locale=locale) for name, value in amounts.items()},
    )
    right = {"date": day.isoformat(), "total": f"{net + vat:.2f}", "currency": currency}
    return " ".join(line.split()), right, {"language": language, "due": due, "net": net, "sentence": sentence}


def mistake(right: dict[str, str], facts: dict, generator: random.Random) -> dict[str, str]:
    """One of the mistakes that were corrected: another date or amount of the line, a lost comma, a sign."""
    year, month, day = right["date"].split("-")
    kinds = [
        {"total": right["total"].replace(".", "")},
        {"currency": {"EUR": "€", "GBP": "£", "USD": "$"}.get(right["currency"], "Fr.")},
    ]
    if int(day) <= 12 and day != month:
        kinds.append({"date": f"{year}-{day}-{month}"})
    if "{due}" in facts["sentence"]:
        kinds.append({"date": facts["due"].isoformat()})
    if "{net}" in facts["sentence"]:
        kinds.append({"total": f"{facts['net']:.2f}"})
    return generator.choice(kinds)


def write(name: str, rows: list[dict]) -> None:
    """One JSON object a line."""
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    (HERE / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
