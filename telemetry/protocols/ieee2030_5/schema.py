"""The elements of IEEE 2030.5-2018 and CSIP-AUS that are served or read, in schema order: facts, no code.

A token is `[@][c.]name[?][*]:type`: `@` attribute, `c.` CSIP-AUS namespace, `?` optional, `*` repeated. Types: `iN`/`uN`
integers of N bits, `hN` at most N hexadecimal digits, `sN` at most N characters, `bool`, `uri`, `any`, or another entry.
"""

from __future__ import annotations

SCHEMA: dict[str, str] = {
    "Link": "@href:uri @all?:u32",
    "DeviceCapability": (
        "@href?:uri @pollRate?:u32 DERProgramListLink?:Link ResponseSetListLink?:Link TariffProfileListLink?:Link "
        "TimeLink?:Link EndDeviceListLink?:Link MirrorUsagePointListLink?:Link"
    ),
    "FunctionSetAssignments": (
        "@href?:uri @subscribable?:u8 DERProgramListLink?:Link ResponseSetListLink?:Link "
        "TariffProfileListLink?:Link TimeLink?:Link mRID:h32 description?:s32 version?:u16"
    ),
    "Time": (
        "@href?:uri @pollRate?:u32 currentTime:i64 dstEndTime:i64 dstOffset:i32 dstStartTime:i64 localTime?:i64 "
        "quality:u8 tzOffset:i32"
    ),
    "EndDevice": (
        "@href?:uri @subscribable?:u8 DERListLink?:Link deviceCategory?:h8 lFDI?:h40 LogEventListLink?:Link "
        "sFDI:u40 changedTime:i64 enabled?:bool FlowReservationRequestListLink?:Link "
        "FlowReservationResponseListLink?:Link FunctionSetAssignmentsListLink?:Link postRate?:u32 "
        "RegistrationLink?:Link SubscriptionListLink?:Link c.ConnectionPointLink?:Link"
    ),
    "Registration": "@href?:uri @pollRate?:u32 dateTimeRegistered:i64 pIN:u32",
    "DERProgram": (
        "@href?:uri @subscribable?:u8 mRID:h32 description?:s32 version?:u16 ActiveDERControlListLink?:Link "
        "DefaultDERControlLink?:Link DERControlListLink?:Link DERCurveListLink?:Link primacy:u8"
    ),
    "DERControl": (
        "@href?:uri @replyTo?:uri @responseRequired?:h2 @subscribable?:u8 mRID:h32 description?:s32 version?:u16 "
        "creationTime:i64 EventStatus:EventStatus interval:DateTimeInterval randomizeDuration?:i16 "
        "randomizeStart?:i16 DERControlBase:DERControlBase deviceCategory?:h8"
    ),
    "EventStatus": ("currentStatus:u8 dateTime:i64 potentiallySuperseded:bool potentiallySupersededTime?:i64 reason?:s192"),
    "DateTimeInterval": "duration:u32 start:i64",
    "DERControlBase": (
        "opModConnect?:bool opModEnergize?:bool opModFixedPFAbsorbW?:PowerFactorWithExcitation "
        "opModFixedPFInjectW?:PowerFactorWithExcitation opModFixedVar?:FixedVar opModFixedW?:i16 "
        "opModFreqDroop?:FreqDroopType opModFreqWatt?:Link opModHFRTMayTrip?:Link opModHFRTMustTrip?:Link "
        "opModHVRTMayTrip?:Link opModHVRTMomentaryCessation?:Link opModHVRTMustTrip?:Link opModLFRTMayTrip?:Link "
        "opModLFRTMustTrip?:Link opModLVRTMayTrip?:Link opModLVRTMomentaryCessation?:Link opModLVRTMustTrip?:Link "
        "opModMaxLimW?:u16 opModTargetVar?:ReactivePower opModTargetW?:ActivePower opModVoltVar?:Link "
        "opModVoltWatt?:Link opModWattPF?:Link opModWattVar?:Link rampTms?:u16 c.opModImpLimW?:ActivePower "
        "c.opModExpLimW?:ActivePower c.opModGenLimW?:ActivePower c.opModLoadLimW?:ActivePower "
        "c.opModStorageTargetW?:ActivePower"
    ),
    "PowerFactorWithExcitation": "displacement:u16 excitation:bool multiplier:i8",
    "FixedVar": "refType:u8 value:i16",
    "FreqDroopType": "dBOF:u32 dBUF:u32 kOF:u16 kUF:u16 openLoopTms:u16",
    "ReactivePower": "multiplier:i8 value:i16",
    "ActivePower": "multiplier:i8 value:i16",
    "DefaultDERControl": (
        "@href?:uri @subscribable?:u8 mRID:h32 description?:s32 version?:u16 DERControlBase:DERControlBase "
        "setESDelay?:u32 setESHighFreq?:u16 setESHighVolt?:i16 setESLowFreq?:u16 setESLowVolt?:i16 "
        "setESRampTms?:u32 setESRandomDelay?:u32 setGradW?:u16 setSoftGradW?:u16"
    ),
    "DERCurve": (
        "@href?:uri mRID:h32 description?:s32 version?:u16 autonomousVRefEnable?:bool "
        "autonomousVRefTimeConstant?:u32 creationTime:i64 CurveData*:CurveData curveType:u8 openLoopTms?:u16 "
        "rampDecTms?:u16 rampIncTms?:u16 rampPT1Tms?:u16 vRef?:u16 xMultiplier:i8 yMultiplier:i8 yRefType:u8"
    ),
    "CurveData": "excitation?:bool xvalue:i32 yvalue:i32",
    "DER": (
        "@href?:uri @subscribable?:u8 AssociatedDERProgramListLink?:Link CurrentDERProgramLink?:Link "
        "DERAvailabilityLink?:Link DERCapabilityLink?:Link DERSettingsLink?:Link DERStatusLink?:Link"
    ),
    "DERCapability": (
        "@href?:uri modesSupported:h8 rtgAbnormalCategory?:u8 rtgMaxA?:CurrentRMS rtgMaxAh?:AmpereHour "
        "rtgMaxChargeRateVA?:ApparentPower rtgMaxChargeRateW?:ActivePower rtgMaxDischargeRateVA?:ApparentPower "
        "rtgMaxDischargeRateW?:ActivePower rtgMaxV?:VoltageRMS rtgMaxVA?:ApparentPower rtgMaxVar?:ReactivePower "
        "rtgMaxVarNeg?:ReactivePower rtgMaxW:ActivePower rtgMaxWh?:WattHour rtgMinPFOverExcited?:PowerFactor "
        "rtgMinPFUnderExcited?:PowerFactor rtgMinV?:VoltageRMS rtgNormalCategory?:u8 rtgOverExcitedPF?:PowerFactor "
        "rtgOverExcitedW?:ActivePower rtgReactiveSusceptance?:ReactiveSusceptance rtgUnderExcitedPF?:PowerFactor "
        "rtgUnderExcitedW?:ActivePower rtgVNom?:VoltageRMS type:u8 c.doeModesSupported?:h2 c.vppModesSupported?:h2"
    ),
    "CurrentRMS": "multiplier:i8 value:u16",
    "AmpereHour": "multiplier:i8 value:u16",
    "ApparentPower": "multiplier:i8 value:u16",
    "VoltageRMS": "multiplier:i8 value:u16",
    "WattHour": "multiplier:i8 value:u16",
    "PowerFactor": "displacement:u16 multiplier:i8",
    "ReactiveSusceptance": "multiplier:i8 value:u16",
    "DERSettings": (
        "@href?:uri @subscribable?:u8 modesEnabled?:h8 setESDelay?:u32 setESHighFreq?:u16 setESHighVolt?:i16 "
        "setESLowFreq?:u16 setESLowVolt?:i16 setESRampTms?:u32 setESRandomDelay?:u32 setGradW:u16 "
        "setMaxA?:CurrentRMS setMaxAh?:AmpereHour setMaxChargeRateVA?:ApparentPower setMaxChargeRateW?:ActivePower "
        "setMaxDischargeRateVA?:ApparentPower setMaxDischargeRateW?:ActivePower setMaxV?:VoltageRMS "
        "setMaxVA?:ApparentPower setMaxVar?:ReactivePower setMaxVarNeg?:ReactivePower setMaxW:ActivePower "
        "setMaxWh?:WattHour setMinPFOverExcited?:PowerFactor setMinPFUnderExcited?:PowerFactor setMinV?:VoltageRMS "
        "setSoftGradW?:u16 setVNom?:VoltageRMS setVRef?:VoltageRMS setVRefOfs?:VoltageRMS updatedTime:i64 "
        "c.doeModesEnabled?:h2 c.vppModesEnabled?:h2 c.setMinWh?:WattHour"
    ),
    "DERStatus": (
        "@href?:uri @subscribable?:u8 alarmStatus?:h8 genConnectStatus?:ConnectStatusType "
        "inverterStatus?:InverterStatusType localControlModeStatus?:LocalControlModeStatusType "
        "manufacturerStatus?:ManufacturerStatusType operationalModeStatus?:OperationalModeStatusType "
        "readingTime:i64 stateOfChargeStatus?:StateOfChargeStatusType storageModeStatus?:StorageModeStatusType "
        "storConnectStatus?:ConnectStatusType"
    ),
    "ConnectStatusType": "dateTime:i64 value:h2",
    "InverterStatusType": "dateTime:i64 value:u8",
    "LocalControlModeStatusType": "dateTime:i64 value:u8",
    "ManufacturerStatusType": "dateTime:i64 value:s6",
    "OperationalModeStatusType": "dateTime:i64 value:u8",
    "StateOfChargeStatusType": "dateTime:i64 value:u16",
    "StorageModeStatusType": "dateTime:i64 value:u8",
    "DERAvailability": (
        "@href?:uri @subscribable?:u8 availabilityDuration?:u32 maxChargeDuration?:u32 readingTime:i64 "
        "reserveChargePercent?:u16 reservePercent?:u16 statVarAvail?:ReactivePower statWAvail?:ActivePower"
    ),
    "MirrorUsagePoint": (
        "@href?:uri mRID:h32 description?:s32 version?:u16 roleFlags:h4 serviceCategoryKind:u8 status:u8 "
        "deviceLFDI:h40 MirrorMeterReading?*:MirrorMeterReading postRate?:u32"
    ),
    "MirrorMeterReading": (
        "@href?:uri mRID:h32 description?:s32 version?:u16 lastUpdateTime?:i64 MirrorReadingSet?*:MirrorReadingSet "
        "nextUpdateTime?:i64 Reading?:Reading ReadingType?:ReadingType"
    ),
    "MirrorReadingSet": ("@href?:uri mRID:h32 description?:s32 version?:u16 timePeriod:DateTimeInterval Reading?*:Reading"),
    "Reading": (
        "@href?:uri @subscribable?:u8 consumptionBlock?:u8 qualityFlags?:h4 timePeriod?:DateTimeInterval "
        "touTier?:u8 value?:i48 localID?:h4"
    ),
    "ReadingType": (
        "@href?:uri accumulationBehaviour?:u8 calorificValue?:UnitValueType commodity?:u8 "
        "conversionFactor?:UnitValueType dataQualifier?:u8 flowDirection?:u8 intervalLength?:u32 kind?:u8 "
        "maxNumberOfIntervals?:u8 numberOfConsumptionBlocks?:u8 numberOfTouTiers?:u8 phase?:u8 "
        "powerOfTenMultiplier?:i8 subIntervalLength?:u32 supplyLimit?:u48 tieredConsumptionBlocks?:bool uom?:u8"
    ),
    "UnitValueType": "multiplier:i8 unit:u8 value:i32",
    "MirrorMeterReadingList": "@href?:uri @all:u32 @results:u32 MirrorMeterReading?*:MirrorMeterReading",
    "DERControlResponse": "@href?:uri createdDateTime?:i64 endDeviceLFDI:h40 status?:u8 subject:h32",
    "Response": "@href?:uri createdDateTime?:i64 endDeviceLFDI:h40 status?:u8 subject:h32",
    "ResponseSet": "@href?:uri mRID:h32 description?:s32 version?:u16 ResponseListLink?:Link",
    "Subscription": (
        "@href?:uri subscribedResource:uri Condition?:Condition encoding:u8 level:s16 limit:u32 notificationURI:uri"
    ),
    "Condition": "attributeIdentifier:u8 lowerThreshold:i48 upperThreshold:i48",
    "LogEvent": (
        "@href?:uri createdDateTime:i64 details?:s32 extendedData?:u32 functionSet:u8 logEventCode:u8 "
        "logEventID:u16 logEventPEN:u32 profileID:u8"
    ),
    "Error": "maxRetryDuration?:u16 reasonCode:u16",
    "FlowReservationRequest": (
        "@href?:uri mRID:h32 description?:s32 version?:u16 creationTime:i64 durationRequested?:u16 "
        "energyRequested:SignedRealEnergy intervalRequested:DateTimeInterval powerRequested:ActivePower "
        "RequestStatus:RequestStatus"
    ),
    "SignedRealEnergy": "multiplier:i8 value:i48",
    "RequestStatus": "dateTime:i64 requestStatus:u8",
    "FlowReservationResponse": (
        "@href?:uri @replyTo?:uri @responseRequired?:h2 @subscribable?:u8 mRID:h32 description?:s32 version?:u16 "
        "creationTime:i64 EventStatus:EventStatus interval:DateTimeInterval energyAvailable:SignedRealEnergy "
        "powerAvailable:ActivePower subject:h32"
    ),
    "EndDeviceList": ("@href?:uri @subscribable?:u8 @all:u32 @results:u32 @pollRate?:u32 EndDevice?*:EndDevice"),
    "DERProgramList": ("@href?:uri @subscribable?:u8 @all:u32 @results:u32 @pollRate?:u32 DERProgram?*:DERProgram"),
    "SubscriptionList": "@href?:uri @all:u32 @results:u32 @pollRate?:u32 Subscription?*:Subscription",
    "FunctionSetAssignmentsList": (
        "@href?:uri @subscribable?:u8 @all:u32 @results:u32 @pollRate?:u32 FunctionSetAssignments?*:FunctionSetAssignments"
    ),
    "DERControlList": "@href?:uri @subscribable?:u8 @all:u32 @results:u32 DERControl?*:DERControl",
    "MirrorUsagePointList": ("@href?:uri @all:u32 @results:u32 @pollRate?:u32 MirrorUsagePoint?*:MirrorUsagePoint"),
    "DERList": "@href?:uri @all:u32 @results:u32 @pollRate?:u32 DER?*:DER",
    "ResponseList": "@href?:uri @all:u32 @results:u32 Response?*:Response",
    "ResponseSetList": "@href?:uri @all:u32 @results:u32 @pollRate?:u32 ResponseSet?*:ResponseSet",
    "LogEventList": "@href?:uri @subscribable?:u8 @all:u32 @results:u32 @pollRate?:u32 LogEvent?*:LogEvent",
    "DERCurveList": "@href?:uri @all:u32 @results:u32 DERCurve?*:DERCurve",
    "FlowReservationRequestList": (
        "@href?:uri @all:u32 @results:u32 @pollRate?:u32 FlowReservationRequest?*:FlowReservationRequest"
    ),
    "FlowReservationResponseList": (
        "@href?:uri @subscribable?:u8 @all:u32 @results:u32 @pollRate?:u32 "
        "FlowReservationResponse?*:FlowReservationResponse"
    ),
    "ActiveDERControlList": "@href?:uri @subscribable?:u8 @all:u32 @results:u32 DERControl?*:DERControl",
    "ConnectionPoint": "@href?:uri connectionPointId:s32",
    "Notification": ("@href?:uri subscribedResource:uri newResourceURI?:uri Resource?:any status:u8 subscriptionURI:uri"),
    "TariffProfileList": (
        "@href?:uri @subscribable?:u8 @all:u32 @results:u32 @pollRate?:u32 TariffProfile?*:TariffProfile"
    ),
    "TariffProfile": (
        "@href?:uri mRID:h32 description?:s32 version?:u16 currency?:u16 pricePowerOfTenMultiplier?:i8 primacy:u8 "
        "rateCode?:s20 RateComponentListLink?:Link serviceCategoryKind:u8 c.CombinedTimeTariffIntervalListLink?:Link"
    ),
    "RateComponentList": "@href?:uri @all:u32 @results:u32 RateComponent?*:RateComponent",
    "RateComponent": (
        "@href?:uri mRID:h32 description?:s32 version?:u16 ActiveTimeTariffIntervalListLink?:Link ReadingTypeLink:Link "
        "roleFlags:h4 TimeTariffIntervalListLink:Link"
    ),
    "TimeTariffIntervalList": "@href?:uri @subscribable?:u8 @all:u32 @results:u32 TimeTariffInterval?*:TimeTariffInterval",
    "TimeTariffInterval": (
        "@href?:uri @replyTo?:uri @responseRequired?:h2 @subscribable?:u8 mRID:h32 description?:s32 version?:u16 "
        "creationTime:i64 EventStatus:EventStatus interval:DateTimeInterval randomizeDuration?:i16 randomizeStart?:i16 "
        "ConsumptionTariffIntervalListLink?:Link touTier:u8 "
        "c.ConsumptionTariffIntervalListSummary?:ConsumptionTariffIntervalListSummary RateComponentLink?:Link"
    ),
    "ConsumptionTariffIntervalListSummary": (
        "@href?:uri @all:u32 @results:u32 ConsumptionTariffInterval?*:ConsumptionTariffInterval"
    ),
    "ConsumptionTariffIntervalList": (
        "@href?:uri @all:u32 @results:u32 ConsumptionTariffInterval?*:ConsumptionTariffInterval"
    ),
    "ConsumptionTariffInterval": "@href?:uri consumptionBlock:u8 price?:i32 startValue:u48",
}
