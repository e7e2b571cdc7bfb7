"""Addresses of the application API."""

from django.urls import path

from interconnection.api import applications, bulk, feeders, me, offers, operation, registration, review, studies, webhooks

APPLICATION = "applications/<int:number>/"

urlpatterns = [
    path("registrations/", registration.Registration.as_view(), name="api-registrations"),
    path("me/", me.Me.as_view(), name="api-me"),
    path("feeders/", feeders.FeederList.as_view(), name="api-feeders"),
    path("feeders/<slug:name>/", feeders.FeederDetail.as_view(), name="api-feeder"),
    path("feeders/<slug:name>/model/", feeders.FeederModel.as_view(), name="api-feeder-model"),
    path("indicative/", feeders.Indicative.as_view(), name="api-indicative"),
    path("applications/", applications.ApplicationList.as_view(), name="api-applications"),
    path("applications/bulk/", bulk.ApplicationBulk.as_view(), name="api-bulk"),
    path(APPLICATION, applications.ApplicationDetail.as_view(), name="api-application"),
    path(APPLICATION + "submit/", applications.ApplicationSubmit.as_view(), name="api-submit"),
    path(APPLICATION + "gaps/", applications.ApplicationGaps.as_view(), name="api-gaps"),
    path(APPLICATION + "complete/", review.ApplicationComplete.as_view(), name="api-complete"),
    path(APPLICATION + "screens/", review.ApplicationScreens.as_view(), name="api-screens"),
    path(APPLICATION + "questions/", review.ApplicationQuestions.as_view(), name="api-questions"),
    path(APPLICATION + "questions/<int:question>/answer/", review.QuestionAnswer.as_view(), name="api-answer"),
    path(APPLICATION + "queue/", review.ApplicationQueue.as_view(), name="api-queue"),
    path(APPLICATION + "options/", offers.ApplicationOptions.as_view(), name="api-options"),
    path(APPLICATION + "commissioning/", operation.ApplicationCommissioning.as_view(), name="api-commissioning"),
    path(APPLICATION + "actions/", operation.ApplicationAction.as_view(), name="api-actions"),
    path(APPLICATION + "withdraw/", applications.ApplicationWithdraw.as_view(), name="api-withdraw"),
    path(APPLICATION + "events/", applications.ApplicationEvents.as_view(), name="api-events"),
    path(APPLICATION + "studies/", studies.ApplicationStudies.as_view(), name="api-studies"),
    path(APPLICATION + "offer/", offers.ApplicationOffer.as_view(), name="api-offer"),
    path(APPLICATION + "offer/issue/", offers.OfferIssue.as_view(), name="api-issue"),
    path(APPLICATION + "offer/take-back/", offers.OfferTakeBack.as_view(), name="api-take-back"),
    path(APPLICATION + "offer/accept/", offers.OfferAccept.as_view(), name="api-accept"),
    path(APPLICATION + "offer/decline/", offers.OfferDecline.as_view(), name="api-decline"),
    path(APPLICATION + "agreement/", offers.ApplicationAgreement.as_view(), name="api-agreement"),
    path("studies/", studies.StudyList.as_view(), name="api-study-list"),
    path("studies/<int:number>/", studies.StudyDetail.as_view(), name="api-study"),
    path("studies/<int:number>/cancel/", studies.StudyCancel.as_view(), name="api-study-cancel"),
    path("studies/<int:number>/resume/", studies.StudyResume.as_view(), name="api-study-resume"),
    path("webhooks/", webhooks.WebhookList.as_view(), name="api-webhooks"),
    path("webhooks/<int:number>/", webhooks.WebhookDetail.as_view(), name="api-webhook"),
    path("webhooks/<int:number>/rotate/", webhooks.WebhookRotate.as_view(), name="api-webhook-rotate"),
    path("webhooks/<int:number>/test/", webhooks.WebhookTest.as_view(), name="api-webhook-test"),
    path("webhooks/<int:number>/messages/", webhooks.WebhookMessages.as_view(), name="api-webhook-messages"),
    path(
        "webhooks/<int:number>/messages/<int:message_number>/resend/", webhooks.WebhookResend.as_view(),
        name="api-webhook-resend",
    ),
]  # fmt: skip
