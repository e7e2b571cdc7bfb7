"""Addresses of the planning desk's pages."""

from django.urls import path

from interconnection.views import applications, studies

urlpatterns = [
    path("", applications.queue, name="queue"),
    path("applications/new/", applications.new_application, name="new-application"),
    path("applications/<int:number>/", applications.application, name="application"),
    path("applications/<int:number>/study/", applications.start_study, name="start-study"),
    path("applications/<int:number>/offer/", applications.issue_offer, name="issue-offer"),
    path("applications/<int:number>/approve/", applications.approve_offer, name="approve-offer"),
    path("applications/<int:number>/accept/", applications.accept_offer, name="accept-offer"),
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
