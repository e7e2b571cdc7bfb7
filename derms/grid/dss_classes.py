"""The classes and properties of OpenDSS that an uploaded model may use, in the engine's own order.

The order matters: OpenDSS lets a file leave property names out (positional) or shorten them, so both must be resolved
exactly as the engine would before anything is re-emitted under its full name. A property that loads code or names a
file is listed (its place counts) and refused (`REFUSED`). Everything that is not here is refused.
"""

from __future__ import annotations


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


PROPERTIES: dict[str, tuple[str, ...]] = {
    "line": _names(
        "bus1 bus2 linecode length phases r1 x1 r0 x0 c1 c0 rmatrix xmatrix cmatrix switch rg xg rho geometry "
        "units spacing wires earthmodel cncables tscables b1 b0 seasons ratings linetype normamps emergamps "
        "faultrate pctperm repair basefreq enabled like"
    ),
    "linecode": _names(
        "nphases r1 x1 r0 x0 c1 c0 units rmatrix xmatrix cmatrix basefreq normamps emergamps faultrate "
        "pctperm repair kron rg xg rho neutral b1 b0 seasons ratings linetype like"
    ),
    "linegeometry": _names(
        "nconds nphases cond wire x h units normamps emergamps reduce spacing wires cncable tscable cncables "
        "tscables seasons ratings linetype like"
    ),
    "linespacing": _names("nconds nphases x h units like"),
    "wiredata": _names(
        "rdc rac runits gmrac gmrunits radius radunits normamps emergamps diam seasons ratings capradius like"
    ),
    "cndata": _names(
        "k diastrand gmrstrand rstrand epsr inslayer diains diacable rdc rac runits gmrac gmrunits radius "
        "radunits normamps emergamps diam seasons ratings capradius like"
    ),
    "tsdata": _names(
        "diashield tapelayer tapelap epsr inslayer diains diacable rdc rac runits gmrac gmrunits radius "
        "radunits normamps emergamps diam seasons ratings capradius like"
    ),
    "transformer": _names(
        "phases windings wdg bus conn kv kva tap %r rneut xneut buses conns kvs kvas taps xhl xht xlt "
        "xscarray thermal n m flrise hsrise %loadloss %noloadloss normhkva emerghkva sub maxtap mintap "
        "numtaps subname %imag ppm_antifloat %rs bank xfmrcode xrconst x12 x13 x23 leadlag wdgcurrents core "
        "rdcohms seasons ratings normamps emergamps faultrate pctperm repair basefreq enabled like"
    ),
    "xfmrcode": _names(
        "phases windings wdg conn kv kva tap %r rneut xneut conns kvs kvas taps xhl xht xlt xscarray thermal "
        "n m flrise hsrise %loadloss %noloadloss normhkva emerghkva maxtap mintap numtaps %imag ppm_antifloat "
        "%rs x12 x13 x23 rdcohms seasons ratings like"
    ),
    "load": _names(
        "phases bus1 kv kw pf model yearly daily duty growth conn kvar rneut xneut status class vminpu vmaxpu "
        "vminnorm vminemerg xfkva allocationfactor kva %mean %stddev cvrwatts cvrvars kwh kwhdays cfactor "
        "cvrcurve numcust zipv %seriesrl relweight vlowpu puxharm xrharm spectrum basefreq enabled like"
    ),
    "loadshape": _names(
        "npts interval mult hour mean stddev csvfile sngfile dblfile action qmult useactual pmax qmax "
        "sinterval minterval pbase qbase pmult pqcsvfile memorymapping interpolation like"
    ),
    "capacitor": _names(
        "bus1 bus2 phases kvar kv conn cmatrix cuf r xl harm numsteps states normamps emergamps faultrate "
        "pctperm repair basefreq enabled like"
    ),
    "capcontrol": _names(
        "element terminal capacitor type ptratio ctratio onsetting offsetting delay voltoverride vmax vmin "
        "delayoff deadtime ctphase ptphase vbus eventlog usermodel userdata pctminkvar reset controlsignal "
        "basefreq enabled like"
    ),
    "regcontrol": _names(
        "transformer winding vreg band ptratio ctprim r x bus delay reversible revvreg revband revr revx "
        "tapdelay debugtrace maxtapchange inversetime tapwinding vlimit ptphase revthreshold revdelay "
        "revneutral eventlog remoteptratio tapnum reset ldc_z rev_z cogen basefreq enabled like"
    ),
    "reactor": _names(
        "bus1 bus2 phases kvar kv conn rmatrix xmatrix parallel r x rp z1 z2 z0 z rcurve lcurve lmh normamps "
        "emergamps faultrate pctperm repair basefreq enabled like"
    ),
    "generator": _names(
        "phases bus1 kv kw pf kvar model vminpu vmaxpu yearly daily duty dispmode dispvalue conn status class "
        "vpu maxkvar minkvar pvfactor forceon kva mva xd xdp xdpp h d usermodel userdata shaftmodel shaftdata "
        "dutystart debugtrace balanced xrdp usefuel fuelkwh %fuel %reserve refuel dynamiceq dynout spectrum "
        "basefreq enabled like"
    ),
    "pvsystem": _names(
        "phases bus1 kv irradiance pmpp %pmpp temperature pf conn kvar kva %cutin %cutout effcurve p-tcurve "
        "%r %x model vminpu vmaxpu balanced limitcurrent yearly daily duty tyearly tdaily tduty class "
        "usermodel userdata debugtrace varfollowinverter dutystart wattpriority pfpriority %pminnovars "
        "%pminkvarmax kvarmax kvarmaxabs kvdc kp pitol safevoltage safemode dynamiceq dynout controlmode "
        "amplimit amplimitgain spectrum basefreq enabled like"
    ),
    "storage": _names(
        "phases bus1 kv conn kw kvar pf kva %cutin %cutout effcurve varfollowinverter kvarmax kvarmaxabs "
        "wattpriority pfpriority %pminnovars %pminkvarmax kwrated %kwrated kwhrated kwhstored %stored "
        "%reserve state %discharge %charge %effcharge %effdischarge %idlingkw %idlingkvar %r %x model vminpu "
        "vmaxpu balanced limitcurrent yearly daily duty dispmode dischargetrigger chargetrigger "
        "timechargetrig class dynadll dynadata usermodel userdata debugtrace kvdc kp pitol safevoltage "
        "safemode dynamiceq dynout controlmode amplimit amplimitgain spectrum basefreq enabled like"
    ),
    "xycurve": _names("npts points yarray xarray csvfile sngfile dblfile x y xshift yshift xscale yscale like"),
    "growthshape": _names("npts year mult csvfile sngfile dblfile like"),
    "tshape": _names("npts interval temp hour mean stddev csvfile sngfile dblfile sinterval minterval action like"),
    "vsource": _names(
        "bus1 basekv pu angle frequency phases mvasc3 mvasc1 x1r1 x0r0 isc3 isc1 r1 x1 r0 x0 scantype "
        "sequence bus2 z1 z0 z2 puz1 puz0 puz2 basemva yearly daily duty model puzideal spectrum basefreq "
        "enabled like"
    ),
    "spectrum": _names("numharm harmonic %mag angle csvfile like"),
    "invcontrol": _names(
        "derlist mode combimode vvc_curve1 hysteresis_offset voltage_curvex_ref avgwindowlen voltwatt_curve "
        "dbvmin dbvmax argralowv argrahiv dynreacavgwindowlen deltaq_factor voltagechangetolerance "
        "varchangetolerance voltwattyaxis rateofchangemode lpftau risefalllimit deltap_factor eventlog "
        "refreactivepower activepchangetolerance monvoltagecalc monbus monbusesvbase voltwattch_curve "
        "wattpf_curve wattvar_curve vv_refreactivepower pvsystemlist vsetpoint controlmodel basefreq enabled "
        "like"
    ),
    "expcontrol": _names(
        "pvsystemlist vreg slope vregtau qbias vregmin vregmax qmaxlead qmaxlag eventlog deltaq_factor "
        "preferq tresponse derlist basefreq enabled like"
    ),
}

REFUSED = frozenset(
    "usermodel userdata dynadll dynadata shaftmodel shaftdata dynamiceq dynout sngfile dblfile pqcsvfile".split()
)
"""They load native code, run code, or name files in a binary form: never passed on."""

REPORTS = frozenset("debugtrace eventlog".split())
"""They make the engine write files about itself: left out, with a finding."""

LEFT_OUT = frozenset(
    "energymeter monitor sensor fuse recloser relay swtcontrol storagecontroller gencontroller tcc_curve "
    "fault indmach012 upfccontrol espvlcontrol".split()
)
"""Not needed for a power flow of the normal state, or harmful (a fuse with action=close corrupts the engine's heap)."""

OPTIONS = frozenset("voltagebases defaultbasefrequency basefrequency loadmult earthmodel".split())
"""`set` options that change the network; they are passed on."""

OPTIONS_IGNORED = frozenset(
    "mode controlmode stepsize number hour sec year time maxiter maxiterations maxcontroliter tolerance "
    "eventlogdefault "
    "demandinterval demand diverbose overloadreport voltexceptionreport voltexcept casename maxcontroliterations "
    "normvminpu normvmaxpu emergvminpu emergvmaxpu markerfile showexport trapezoidal algorithm loadmodel "
    "allocationfactors cfactors".split()
)
"""`set` options about how to solve or report: ours to decide, left out with a finding."""
