import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("interconnection", "0007_desk_rows")]

    operations = [
        migrations.AlterField(
            model_name='offer',
            name='prepared_by',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AlterField(
            model_name='offer',
            name='prepared',
            field=models.DateTimeField(auto_now_add=True),
        ),
        migrations.RemoveField(
            model_name='offer',
            name='open',
        ),
        migrations.AddConstraint(
            model_name='offer',
            constraint=models.UniqueConstraint(condition=models.Q(('status__in', ('prepared', 'open'))), fields=('application',), name='one_open_offer'),
        ),
        migrations.AddConstraint(
            model_name='offer',
            constraint=models.CheckConstraint(condition=models.Q(('issued_by__isnull', True), models.Q(('issued_by', models.F('prepared_by')), _negated=True), _connector='OR'), name='two_people_issue'),
        ),
        migrations.AddConstraint(
            model_name='offer',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('status__in', ('open', 'accepted')), _negated=True), ('issued__isnull', False), _connector='OR'), name='open_means_issued'),
        ),
        migrations.AddConstraint(
            model_name='offer',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ('prepared', 'open', 'accepted', 'declined', 'lapsed', 'superseded'))), name='a_known_offer_status'),
        ),
    ]
