"""Addresses of the planning desk's pages."""

from django.urls import path

from interconnection.views import applications, offers, studies

urlpatterns = [
    path("", applications.queue, name="queue"),
    path("applications.csv", applications.queue_csv, name="queue-csv"),
    path("search/", applications.search, name="search"),
    path("applications/new/", applications.new_application, name="new-application"),
    path("applications/<int:number>/", applications.application, name="application"),
    path("applications/<int:number>/study/", applications.start_study, name="start-study"),
    path("applications/<int:number>/amend/", applications.amend_application, name="amend-application"),
    path("applications/<int:number>/submit/", applications.submit_application, name="submit-application"),
    path("applications/<int:number>/complete/", applications.deem_complete, name="deem-complete"),
    path("applications/<int:number>/act/", applications.act_on_application, name="act-on-application"),
    path("applications/<int:number>/offer/", offers.edit_offer, name="edit-offer"),
    path("applications/<int:number>/offer/check/", offers.check_offer, name="check-offer"),
    path("applications/<int:number>/approve/", offers.approve_offer, name="approve-offer"),
    path("applications/<int:number>/take-back/", offers.take_back_offer, name="take-back-offer"),
    path("applications/<int:number>/accept/", offers.accept_offer, name="accept-offer"),
    path("applications/<int:number>/decline/", offers.decline_offer, name="decline-offer"),
    path("applications/<int:number>/offers/<int:offer>/letter.pdf", offers.offer_letter, name="offer-letter"),
    path("applications/<int:number>/offers/<int:offer>/terms.json", offers.offer_terms, name="offer-terms"),
    path("studies/", studies.studies, name="studies"),
    path("studies/compare/", studies.compare_studies, name="compare-studies"),
    path("studies/<int:number>/", studies.study, name="study"),
    path("studies/<int:number>/progress/", studies.study_progress, name="study-progress"),
    path("studies/<int:number>/cancel/", studies.cancel_study, name="cancel-study"),
    path("studies/<int:number>/resume/", studies.resume_study, name="resume-study"),
    path("studies/<int:number>/clone/", studies.clone_study, name="clone-study"),
    path("studies/<int:number>/ladder/", studies.order_ladder, name="order-ladder"),
    path("studies/<int:number>/ladder/<slug:side>/", studies.study_ladder, name="study-ladder"),
    path("studies/<int:number>/profile/", studies.study_profile, name="study-profile"),
    path("studies/<int:number>/what-if/", studies.study_what_if, name="study-what-if"),
    path("studies/<int:number>/state.json", studies.study_state, name="study-state"),
    path("studies/<int:number>/wires.json", studies.study_geometry, name="study-geometry"),
    path("studies/<int:number>/hours.csv", studies.study_hours_csv, name="study-hours"),
    path("feeders/", applications.feeders, name="feeders"),
    path("feeders/<slug:name>/", applications.feeder, name="feeder"),
]
