"""Rows that were there before: offers get a status, applications their place in the queue and a first version."""

from django.db import migrations, models

STORED = (
    "name", "bus", "phases", "import_w", "export_w", "charger_model", "charger_count", "charger_import_w",
    "charger_export_w", "need_wh_per_day", "protocol", "address", "account", "contact", "contact_email", "contact_phone",
    "transformer", "transformer_va", "service_v", "service_a", "secondary_shared", "spot_network", "import_va", "export_va",
    "export_mode", "limit_means", "charger_make", "inverter_place", "charger_fault_pu", "certificates", "vehicle_model",
    "vehicle_count", "vehicle_wh", "storage_w", "storage_wh", "pv_w", "load_most_w", "load_least_w", "schedule", "documents",
    "rule_pack",
)


def forwards(apps, schema_editor):
    Application = apps.get_model("interconnection", "Application")
    Version = apps.get_model("interconnection", "ApplicationVersion")
    Offer = apps.get_model("interconnection", "Offer")
    for offer in Offer.objects.all().iterator():
        signed = apps.get_model("interconnection", "Agreement").objects.filter(offer=offer).exists()
        offer.status = "accepted" if signed else "open" if offer.open else "superseded"
        # One person issued until now: that person prepared, and nobody countersigned.
        offer.prepared, offer.prepared_by_id, offer.issued_by_id = offer.issued, offer.issued_by_id, None
        offer.save(update_fields=["status", "prepared", "prepared_by", "issued_by"])
    for application in Application.objects.select_related("feeder").iterator():
        if application.state not in ("draft", "submitted", "withdrawn"):
            Application.objects.filter(pk=application.pk).update(completed=application.created)
        document = {name: getattr(application, name) for name in STORED}
        document |= {"feeder": application.feeder.name, "wanted": application.wanted.isoformat()}
        Version.objects.create(
            application=application, number=1, document=document, made_by=application.applicant, cause="filed"
        )


def backwards(apps, schema_editor):
    Offer = apps.get_model("interconnection", "Offer")
    Offer.objects.exclude(status="open").update(open=False)
    Offer.objects.update(issued=models.F("prepared"), issued_by=models.F("prepared_by"))
    apps.get_model("interconnection", "ApplicationVersion").objects.all().delete()


class Migration(migrations.Migration):

    dependencies = [("interconnection", "0006_desk_workflow")]

    operations = [migrations.RunPython(forwards, backwards)]
