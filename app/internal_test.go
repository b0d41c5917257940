package app

// RegisterUpgrades lets tests in app_test perform upgrades that no release contains.
var RegisterUpgrades = (*App).registerUpgrades
