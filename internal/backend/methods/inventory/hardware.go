package inventory

import (
	"slices"
	"strings"
)

// hardwareClass is one kind of device that an inventory knows, and what can be
// said about one. General attributes are the same for all devices of a model,
// the others belong to the one device in the one host.
type hardwareClass struct {
	name   string
	query  string // the WMI class that a Windows client asks
	label  label
	values []hardwareValue
}

type hardwareValue struct {
	name     string
	kind     string // an SQL type, as inventory programs know it
	property string // of the WMI class; "" if there is none
	of       scope
	label    label
}

// label is what people read.
type label struct{ en, de string }

func (l label) in(language string) string {
	if strings.HasPrefix(strings.ToLower(language), "de") {
		return l.de
	}
	return l.en
}

type scope string

const (
	general scope = "g"
	single  scope = "i"
)

// Kinds of values.
const (
	text20  = "varchar(20)"
	text50  = "varchar(50)"
	text60  = "varchar(60)"
	text100 = "varchar(100)"
	tiny    = "tinyint"
	small   = "smallint"
	whole32 = "int"
	whole64 = "bigint"
)

func value(name, kind string, of scope, property, en, de string) hardwareValue {
	return hardwareValue{name: name, kind: kind, of: of, property: property, label: label{en, de}}
}

// named is what every device has.
var named = []hardwareValue{
	value("name", text100, general, "Name", "Name", "Name"),
	value("description", text100, general, "Description", "Description", "Beschreibung"),
}

// device is what a device has that somebody made.
var device = append(slices.Clone(named),
	value("vendor", text50, general, "Manufacturer", "Vendor", "Hersteller"),
	value("model", text100, general, "Model", "Model", "Modell"),
	value("serialNumber", text50, single, "SerialNumber", "Serial number", "Seriennummer"),
)

// onBus is a device that the PCI bus names.
var onBus = append(slices.Clone(device),
	value("busId", text60, single, "", "Bus", "Bus"),
	value("vendorId", text20, general, "", "Vendor number", "Herstellernummer"),
	value("deviceId", text20, general, "", "Device number", "Gerätenummer"),
	value("subsystemVendorId", text20, general, "", "Subsystem vendor number", "Herstellernummer des Subsystems"),
	value("subsystemDeviceId", text20, general, "", "Subsystem device number", "Gerätenummer des Subsystems"),
	value("revision", text20, general, "", "Revision", "Revision"),
)

var drive = append(slices.Clone(device),
	value("size", whole64, general, "Size", "Size", "Größe"),
)

func kindOf(name, wmi, en, de string, common []hardwareValue, own ...hardwareValue) hardwareClass {
	query := ""
	if wmi != "" {
		query = "select * from " + wmi
	}
	return hardwareClass{name: name, query: query, label: label{en, de}, values: append(slices.Clone(common), own...)}
}

// hardwareClasses are the devices that a hardware inventory can hold. The table
// is part of the program: a server and an agent's local service answer with the
// same, so that it need not travel with a replication.
var hardwareClasses = []hardwareClass{
	kindOf("COMPUTER_SYSTEM", "Win32_ComputerSystem", "Computer", "Computer", device,
		value("systemType", text50, single, "SystemType", "Type", "Typ"),
		value("sku", text50, general, "SystemSKUNumber", "Stock keeping unit", "Artikelnummer"),
		value("totalPhysicalMemory", whole64, single, "TotalPhysicalMemory", "Memory", "Arbeitsspeicher"),
	),
	kindOf("CHASSIS", "Win32_SystemEnclosure", "Chassis", "Gehäuse", device,
		value("chassisType", text50, general, "ChassisTypes", "Type", "Typ"),
		value("installDate", text20, single, "InstallDate", "Installation date", "Installationsdatum"),
	),
	kindOf("BASE_BOARD", "Win32_BaseBoard", "Base board", "Hauptplatine", device,
		value("product", text100, general, "Product", "Product", "Produkt"),
	),
	kindOf("BIOS", "Win32_BIOS", "BIOS", "BIOS", device,
		value("version", text50, general, "SMBIOSBIOSVersion", "Version", "Version"),
	),
	kindOf("TPM", "", "Trusted platform module", "Sicherheitschip (TPM)", device,
		value("version", text50, general, "", "Version", "Version"),
		value("enabled", text20, single, "", "Enabled", "Eingeschaltet"),
	),
	kindOf("SYSTEM_SLOT", "Win32_SystemSlot", "System slot", "Steckplatz", named,
		value("currentUsage", text20, single, "CurrentUsage", "Usage", "Belegung"),
		value("status", text20, single, "Status", "Status", "Status"),
		value("maxDataWidth", small, general, "MaxDataWidth", "Data width", "Datenbreite"),
	),
	kindOf("PORT_CONNECTOR", "Win32_PortConnector", "Connector", "Anschluss", device,
		value("connectorType", text60, general, "ConnectorType", "Type", "Typ"),
		value("internalDesignator", text60, general, "InternalReferenceDesignator", "Internal name", "Interne Bezeichnung"),
		value("externalDesignator", text60, general, "ExternalReferenceDesignator", "External name", "Externe Bezeichnung"),
	),
	kindOf("PROCESSOR", "Win32_Processor", "Processor", "Prozessor", device,
		value("architecture", text50, general, "Architecture", "Architecture", "Architektur"),
		value("family", text50, general, "Family", "Family", "Familie"),
		value("currentClockSpeed", whole64, single, "CurrentClockSpeed", "Clock", "Takt"),
		value("maxClockSpeed", whole64, general, "MaxClockSpeed", "Highest clock", "Höchster Takt"),
		value("extClock", whole64, general, "ExtClock", "External clock", "Externer Takt"),
		value("processorId", text50, single, "ProcessorId", "Processor number", "Prozessornummer"),
		value("addressWidth", small, general, "AddressWidth", "Address width", "Adressbreite"),
		value("socketDesignation", text100, single, "SocketDesignation", "Socket", "Sockel"),
		value("voltage", text50, single, "CurrentVoltage", "Voltage", "Spannung"),
		value("numberOfCores", small, general, "NumberOfCores", "Cores", "Kerne"),
		value("numberOfLogicalProcessors", small, general, "NumberOfLogicalProcessors", "Threads", "Logische Prozessoren"),
	),
	kindOf("MEMORY_BANK", "Win32_PhysicalMemoryArray", "Memory bank", "Speicherbank", named,
		value("location", text50, general, "Location", "Location", "Ort"),
		value("maxCapacity", whole64, general, "MaxCapacity", "Highest capacity", "Höchste Kapazität"),
		value("slots", tiny, general, "MemoryDevices", "Slots", "Steckplätze"),
	),
	kindOf("MEMORY_MODULE", "Win32_PhysicalMemory", "Memory module", "Speichermodul", device,
		value("capacity", whole64, general, "Capacity", "Capacity", "Kapazität"),
		value("deviceLocator", text100, single, "DeviceLocator", "Slot", "Steckplatz"),
		value("formFactor", text50, general, "FormFactor", "Form factor", "Bauform"),
		value("speed", whole64, general, "Speed", "Speed", "Geschwindigkeit"),
		value("memoryType", text50, general, "MemoryType", "Type", "Typ"),
		value("dataWidth", small, general, "DataWidth", "Data width", "Datenbreite"),
		value("tag", text50, single, "Tag", "Tag", "Kennung"),
	),
	kindOf("CACHE_MEMORY", "Win32_CacheMemory", "Cache memory", "Zwischenspeicher", named,
		value("installedSize", whole64, general, "InstalledSize", "Size", "Größe"),
		value("maxSize", whole64, general, "MaxCacheSize", "Highest size", "Höchste Größe"),
		value("location", text100, general, "Location", "Location", "Ort"),
		value("level", text20, general, "Level", "Level", "Stufe"),
	),
	kindOf("PCI_DEVICE", "", "PCI device", "PCI-Gerät", onBus),
	kindOf("USB_DEVICE", "", "USB device", "USB-Gerät", device,
		value("vendorId", text20, general, "", "Vendor number", "Herstellernummer"),
		value("deviceId", text20, general, "", "Device number", "Gerätenummer"),
		value("usbRelease", text20, general, "", "USB version", "USB-Version"),
		value("maxPower", text20, general, "", "Highest power", "Höchste Leistung"),
	),
	kindOf("NETWORK_CONTROLLER", "Win32_NetworkAdapter", "Network controller", "Netzwerkkarte", onBus,
		value("adapterType", text100, general, "AdapterType", "Type", "Typ"),
		value("maxSpeed", whole64, general, "MaxSpeed", "Highest speed", "Höchste Geschwindigkeit"),
		value("macAddress", text20, single, "MACAddress", "Hardware address", "Hardware-Adresse"),
		value("netConnectionStatus", text60, single, "NetConnectionStatus", "Connection", "Verbindung"),
		value("autoSense", text20, single, "AutoSense", "Finds its speed", "Automatische Erkennung"),
		value("ipEnabled", text60, single, "IPEnabled", "Has an IP address", "IP eingeschaltet"),
		value("ipAddress", text60, single, "IPAddress", "IP address", "IP-Adresse"),
	),
	kindOf("VIDEO_CONTROLLER", "Win32_VideoController", "Video controller", "Grafikkarte", onBus,
		value("videoProcessor", text100, general, "VideoProcessor", "Processor", "Prozessor"),
		value("adapterRAM", whole64, general, "AdapterRAM", "Memory", "Speicher"),
	),
	kindOf("AUDIO_CONTROLLER", "Win32_SoundDevice", "Audio controller", "Audiokarte", onBus),
	kindOf("IDE_CONTROLLER", "Win32_IDEController", "IDE controller", "IDE-Controller", onBus),
	kindOf("SCSI_CONTROLLER", "Win32_SCSIController", "SCSI controller", "SCSI-Controller", onBus),
	kindOf("USB_CONTROLLER", "Win32_USBController", "USB controller", "USB-Controller", onBus),
	kindOf("IEEE1394_CONTROLLER", "Win32_1394Controller", "FireWire controller", "FireWire-Controller", onBus),
	kindOf("HARDDISK_DRIVE", "Win32_DiskDrive", "Hard disk", "Festplatte", drive,
		value("cylinders", whole32, general, "TotalCylinders", "Cylinders", "Zylinder"),
		value("heads", whole32, general, "TotalHeads", "Heads", "Köpfe"),
		value("sectors", whole64, general, "TotalSectors", "Sectors", "Sektoren"),
		value("partitions", tiny, single, "Partitions", "Partitions", "Partitionen"),
	),
	kindOf("DISK_PARTITION", "Win32_DiskPartition", "Partition", "Partition", named,
		value("size", whole64, single, "Size", "Size", "Größe"),
		value("startingOffset", whole64, single, "StartingOffset", "Start", "Anfang"),
		value("index", whole32, single, "Index", "Number", "Nummer"),
		value("filesystem", text50, single, "", "File system", "Dateisystem"),
		value("freeSpace", whole64, single, "", "Free space", "Freier Platz"),
		value("driveLetter", text20, single, "", "Drive letter", "Laufwerksbuchstabe"),
	),
	kindOf("OPTICAL_DRIVE", "Win32_CDROMDrive", "Optical drive", "Optisches Laufwerk", drive,
		value("driveLetter", text20, single, "Drive", "Drive letter", "Laufwerksbuchstabe"),
	),
	kindOf("FLOPPY_DRIVE", "Win32_FloppyDrive", "Floppy drive", "Diskettenlaufwerk", drive),
	kindOf("TAPE_DRIVE", "Win32_TapeDrive", "Tape drive", "Bandlaufwerk", drive),
	kindOf("BATTERY", "Win32_Battery", "Battery", "Akku", device,
		value("designCapacity", whole64, general, "DesignCapacity", "Capacity", "Kapazität"),
	),
	kindOf("MONITOR", "Win32_DesktopMonitor", "Monitor", "Bildschirm", device,
		value("screenHeight", small, general, "ScreenHeight", "Height", "Höhe"),
		value("screenWidth", small, general, "ScreenWidth", "Width", "Breite"),
	),
	kindOf("KEYBOARD", "Win32_Keyboard", "Keyboard", "Tastatur", device,
		value("numberOfFunctionKeys", small, general, "NumberOfFunctionKeys", "Function keys", "Funktionstasten"),
	),
	kindOf("POINTING_DEVICE", "Win32_PointingDevice", "Pointing device", "Zeigegerät", device,
		value("numberOfButtons", tiny, general, "NumberOfButtons", "Buttons", "Tasten"),
	),
	kindOf("PRINTER", "Win32_Printer", "Printer", "Drucker", device,
		value("horizontalResolution", whole32, general, "HorizontalResolution", "Horizontal resolution", "Horizontale Auflösung"),
		value("verticalResolution", whole32, general, "VerticalResolution", "Vertical resolution", "Vertikale Auflösung"),
		value("driverName", text100, general, "DriverName", "Driver", "Treiber"),
		value("port", text50, single, "PortName", "Port", "Anschluss"),
	),
}

// describeHardware is the table as opsi's clients and tools read it.
func describeHardware(language string) []any {
	out := make([]any, len(hardwareClasses))
	for i, h := range hardwareClasses {
		class := map[string]any{"Type": "STRUCTURAL", "Opsi": h.name, "UI": h.label.in(language)}
		if h.query != "" {
			class["WMI"] = h.query
		}
		values := make([]any, len(h.values))
		for j, v := range h.values {
			value := map[string]any{"Opsi": v.name, "Type": v.kind, "Scope": string(v.of), "UI": v.label.in(language)}
			if v.property != "" && h.query != "" {
				value["WMI"] = v.property
			}
			values[j] = value
		}
		out[i] = map[string]any{"Class": class, "Values": values}
	}
	return out
}
